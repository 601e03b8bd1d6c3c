"""The real Kaggle: its client, download, submit, status, and the online part of doctor."""
