"""Customers in mass: files and streams of any length in bounded memory.

text     bytes → rows as they stand (a line of NDJSON, a record of CSV)
columns  the cells of a CSV record → the fields of `CustomerWrite`
rows     a batch of rows → rows of the tables, or what is wrong with each (pure, the expensive part)
worker   the same in a process of its own, so that no ring waits for it
store    a batch into the tables, one transaction
load     all of it, batch after batch, with a report for each row
"""
