"""The recipe of Marque's built-in model: data, tokenizer, training, GGUF, evaluation.

`python -m marque_train --help` lists the steps; `make train-model` runs them all. Everything is
drawn from one seed. What is evaluated is never trained on: entities and phrasings are split by a
hash (`entities.held_out`), and the sets written by hand are read by `sets` alone.
"""
