"""What a derivative keeps: marked by hand, recovered from results, or fitted to a budget."""
