"""Reports: what operators, finance and regulators read, made from the views and the log.

A report of a time that is over comes out the same whenever it is made, `generated_at` apart.
"""
