"""Customers and calls that are nobody's, as many as one likes, the same for the same seed: for demos and benchmarks.

words   what names, companies and goods are made of
people  customers: pure, endless
calls   past calls of their numbers: pure, endless
tables  both into PostgreSQL by COPY
"""
