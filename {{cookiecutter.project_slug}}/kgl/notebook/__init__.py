"""Code competitions: a notebook and its data sets, built, checked here as Kaggle will run it, pushed and submitted."""
