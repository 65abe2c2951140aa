"""Random changes of a batch of images, on the device: what is drawn, and what it does to the pixels."""
