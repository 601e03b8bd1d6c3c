"""Three hundred trees that vote, with the title and the family's size: features that tell boys from men pay at once."""

from features import family_size, title
from kgl.tabular import Tabular

experiment = Tabular(
    model="random_forest",
    params={"n_estimators": 300, "min_samples_leaf": 5},
    features=(title, family_size),
    drop=("Name", "Ticket", "Cabin"),
)
