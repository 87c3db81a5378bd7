"""The page: track objects in your own video with a browser, on this computer only."""
