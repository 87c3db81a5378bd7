"""Looking at results: pictures, videos and plots of them beside the ground truth, and a page."""
