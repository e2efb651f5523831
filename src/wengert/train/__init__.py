"""Training a network on labelled data: the program behind `wengert train`.

`loop` is the lesson, three steps repeated; the other modules get data in, and pictures and messages
out.
"""
