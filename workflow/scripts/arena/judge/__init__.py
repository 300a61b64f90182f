"""The judge server of a batch: started, watched, restarted, ended."""
