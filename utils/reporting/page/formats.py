"""Names of the formats that figures are written in"""

FIGURE_FORMATS = ("pdf", "png", "svg")
