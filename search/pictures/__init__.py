"""Picture files of all kinds become arrays: listed, decoded, divided into parts, kept."""
