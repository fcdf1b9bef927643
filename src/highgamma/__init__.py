"""highgamma: encoding models of intracranial high-gamma activity, and what each score is worth."""

__version__ = "0.1.0"
