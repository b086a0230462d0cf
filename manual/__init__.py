"""What makes the site out of docs/ and the code: reference pages, and pictures of the screens."""
