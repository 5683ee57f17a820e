"""What every part leans on: errors, settings, seeds, files, scratch folders, progress, devices."""
