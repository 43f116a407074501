"""A reader of Bicep for tests: what the templates in infra/ say, and what a deployment of them would make."""
