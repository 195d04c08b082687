"""What do we tell people, and did it get worse? Reads run files only; never imports torch."""
