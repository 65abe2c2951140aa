"""What was found, for people: pages, pictures, Markdown, JSON."""
