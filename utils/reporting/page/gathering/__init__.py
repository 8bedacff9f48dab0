"""Read what a page shows from the artifacts of runs"""
