"""Events that a person orders to be taken once more, by the function that did not take them."""
