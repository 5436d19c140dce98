"""The timeline of a job as text, for ``telecine explain``."""
