"""The type checker of the tests, in a module of its own because jaxtyping's import hook wants an address."""

import beartype

# With the numeric tower: an int is a float where one is asked for, as static type checkers have it.
typechecker = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))
