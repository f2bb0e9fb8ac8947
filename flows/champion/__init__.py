"""Who is champion, and every move of it: promoted by the gate or a person, stepped back, pending."""
