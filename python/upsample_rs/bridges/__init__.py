"""What the bridges to other libraries share: the table of operations and their shapes.

Nothing here imports another library, and nothing in the package imports this.
"""
