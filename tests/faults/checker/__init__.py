"""A checker of histories: providers that play while things break, and what may have become of it.

`clients` plays in a process of its own and writes down what it is about to send and what came back;
`log` reads what the database holds in the end; `check` replays that log, in its own order, on
`model`, a wallet written from the rules, and says wherever the two histories cannot both be true.
"""
