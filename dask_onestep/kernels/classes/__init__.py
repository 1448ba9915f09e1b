"""Labels of a classification, and the multinomial logit of more than two."""
