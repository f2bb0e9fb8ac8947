"""Send every receiver of alerts what needs a person: all that is new in one message, each item once."""
