"""The stages of the life cycle, one file each: `run(recipe, inputs, out) -> Artifact`."""
