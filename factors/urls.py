"""Paths of the factors."""

from django.urls import path

from factors import api

urlpatterns = [path("api/factor/catalog", api.factor_catalog)]
