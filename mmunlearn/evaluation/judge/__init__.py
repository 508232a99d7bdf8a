"""The judge: rubrics (what is asked, and of what) over one client that knows none of them."""
