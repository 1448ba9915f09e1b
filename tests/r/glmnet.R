# Paths and cross-validation by R's glmnet, of the data that covariances.R writes and of R's mtcars: Rscript tests/r/glmnet.R
# (from the repository).  Figures are in long form: model, figure, row (the penalty), column, value.
suppressMessages(library(glmnet))
data <- read.csv("tests/r/data.csv")
tight <- list(thresh = 1e-16, maxit = 1e7)
keep <- function(model, fit, lambda) {
  beta <- as.matrix(coef(fit, s = lambda, exact = FALSE))
  data.frame(model, figure = "coef", row = rep(signif(lambda, 17), each = nrow(beta)),
             column = rep(rownames(beta), length(lambda)), value = as.vector(beta))
}
net <- function(model, x, y, family, ...) {
  fit <- do.call(glmnet, c(list(x, y, family = family, ...), tight))
  lambda <- fit$lambda[round(seq(1, length(fit$lambda), length.out = 6))]
  keep(model, fit, lambda)
}
x <- as.matrix(data[, c("x", "z", "w", "day")])
cars <- as.matrix(mtcars[, -1])
rows <- rbind(
  net("mtcars lasso", cars, mtcars$mpg, "gaussian"),
  net("mtcars raw", cars, mtcars$mpg, "gaussian", standardize = FALSE),
  net("gaussian lasso", x, data$normal, "gaussian", weights = data$w),
  net("binomial", x, data$event, "binomial", alpha = 0.6),
  net("poisson", x, data$count, "poisson", alpha = 0.6, offset = log(data$w)),
  net("poisson factors", x, data$count, "poisson", penalty.factor = c(1, 0, 2, 1)))
# Cross-validation with given folds, blocks of 8 rows, and given penalties: otherwise each fold has its own, and its
# coefficients are interpolated.
fold <- (seq_len(nrow(mtcars)) - 1) %/% 8 + 1
lambda <- exp(seq(log(5), log(0.005), length.out = 30))
cv <- do.call(cv.glmnet, c(list(cars, mtcars$mpg, foldid = fold, lambda = lambda, standardize = FALSE), tight))
rows <- rbind(rows,
  data.frame(model = "mtcars cv", figure = "cvm", row = signif(cv$lambda, 17), column = "all", value = cv$cvm),
  data.frame(model = "mtcars cv", figure = "cvsd", row = signif(cv$lambda, 17), column = "all", value = cv$cvsd),
  data.frame(model = "mtcars cv", figure = c("lambda.min", "lambda.1se"), row = 0, column = "all",
             value = c(cv$lambda.min, cv$lambda.1se)))
rows$value <- format(rows$value, digits = 15, trim = TRUE, scientific = TRUE)
write.csv(rows, "tests/r/glmnet.csv", row.names = FALSE, quote = FALSE)
write.csv(cbind(car = rownames(mtcars), mtcars), "tests/r/mtcars.csv", row.names = FALSE, quote = FALSE)
