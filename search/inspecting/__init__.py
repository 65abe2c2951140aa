"""What a person asks of images, a space, a study or a trial."""
