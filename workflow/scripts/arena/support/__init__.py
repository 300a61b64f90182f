"""What any program needs: errors, files, text, tables, names, processes."""
