"""One HTML page of a run or an experiment, made from artifacts: what was selected, why, and what it bought"""
