"""The pages of the window, one module each, with the panels that belong to them."""
