"""`log`: where the figures of training go, and what time and energy cost."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from dragoman.core.recipe.values import Section, each_once, listed

TrackerName = Literal["tensorboard", "mlflow", "wandb", "trackio"]


class Log(Section):
    """Changes no result, so no stage is made again for it. Everything stays in the run's folder unless `url` names a
    server (MLflow) or `online` is set (Weights & Biases)."""

    to: Annotated[list[TrackerName], BeforeValidator(listed), AfterValidator(each_once)] = ["tensorboard"]
    project: str | None = None  # default: the recipe's name
    url: str | None = None  # of an MLflow server
    online: bool = False  # Weights & Biases: send to its server, with the key of `wandb login`
    watts: Annotated[float, Field(gt=0)] = 10.0  # of a busy core, where the machine does not tell its energy
    kwh: Annotated[float, Field(ge=0)] = 0.0  # price of a kilowatt hour
    hour: Annotated[float, Field(ge=0)] = 0.0  # price of an hour of this machine
    currency: str = "EUR"
