"""Each figure of the page, defined once: from what was read to series of numbers"""
