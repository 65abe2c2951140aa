"""What a decision found, for people: page, pictures, Markdown, JSON."""
