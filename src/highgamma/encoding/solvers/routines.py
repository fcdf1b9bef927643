"""BLAS and LAPACK routines of a precision, by their names."""

from __future__ import annotations

from typing import Any


def lapack(dtype: Any, *names: str) -> tuple[Any, ...]:
    """Return LAPACK routines, such as `potrf`, for float64 or float32."""
    from scipy.linalg import get_lapack_funcs

    routines: Any = get_lapack_funcs(names, dtype=dtype)
    return tuple(routines)


def blas(dtype: Any, *names: str) -> tuple[Any, ...]:
    """Return BLAS routines, such as `trmm`, for float64 or float32."""
    from scipy.linalg import get_blas_funcs

    routines: Any = get_blas_funcs(names, dtype=dtype)
    return tuple(routines)
