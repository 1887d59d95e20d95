"""Pictures as a camera gives them: bursts, folders that fill up, video; events instead of single answers."""
