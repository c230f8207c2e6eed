"""The health deck: every expected drill on one page, in every form that people and CI read."""
