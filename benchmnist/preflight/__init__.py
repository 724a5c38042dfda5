"""What is done before any training: a suite read, planned, checked and described."""
