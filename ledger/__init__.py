"""The book: the tree, its order of effects, witnesses, storage."""
