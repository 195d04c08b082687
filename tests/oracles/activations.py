"""Numbers for the curves that take some, for tests that go through all of them."""

NUMBERS = {
    "softplus": (1.0, 20.0), "elu": (0.7,), "celu": (1.5,), "softshrink": (0.4,), "hardshrink": (0.3,),
}  # fmt: skip
