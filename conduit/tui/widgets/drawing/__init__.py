"""What is drawn of signs in cells: figures, charts, plots and the bars of lists."""
