"""Programs that write the documents."""
