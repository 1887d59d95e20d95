"""What visitors say about answers, kept with their consent."""
