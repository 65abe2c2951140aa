"""The images: where they come from, who may see them, how a batch is made of them."""
