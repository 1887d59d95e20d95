"""From addresses to pictures on disk: downloads, robots.txt, takedowns, verification."""
