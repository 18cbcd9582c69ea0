"""Methods of adaptation that are more than an adapter of PEFT's: `movement(model, wish, seeds, steps)` says which weights move
when. The table is in `core.recipe.adapt`."""
