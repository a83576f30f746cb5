"""Several processes answer, one watches: what goes between them, and why none of them decides by what is past."""
