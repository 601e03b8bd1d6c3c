"""The report: one page with pictures, RESULTS.md, and the tables and pictures of notebooks/eda.ipynb."""
