"""Videos, folders and cameras in; videos, masks and tables out."""
